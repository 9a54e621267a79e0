# Parameters that are missing or of the wrong type: the error names the key; out-of-range places are clamped.
> {"jsonrpc":"2.0","id":"init","method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":"init","result":{"capabilities":"<any>"}}
> {"jsonrpc":"2.0","id":1,"method":"textDocument/completion"}
< {"id":1,"error":{"code":-32602}}
> {"jsonrpc":"2.0","id":2,"method":"textDocument/completion","params":{"position":{"line":0,"character":0}}}
< {"id":2,"error":{"code":-32602,"message":"~textDocument"}}
> {"jsonrpc":"2.0","id":3,"method":"textDocument/completion","params":{"textDocument":{"uri":"file:///a.py"},"position":{"line":"one","character":0}}}
< {"id":3,"error":{"code":-32602,"message":"~line"}}
> {"jsonrpc":"2.0","id":4,"method":"textDocument/completion","params":{"textDocument":{"uri":7},"position":{"line":0,"character":0}}}
< {"id":4,"error":{"code":-32602,"message":"~uri"}}
> {"jsonrpc":"2.0","id":5,"method":"textDocument/completion","params":[1,2]}
< {"id":5,"error":{"code":-32602}}
# Broken notifications are logged, not answered.
> {"jsonrpc":"2.0","method":"textDocument/didOpen"}
> {"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///a.py"}}}
> {"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///never-opened.py","version":3},"contentChanges":[{"text":"x"}]}}
> {"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///never-opened.py","version":4},"contentChanges":"all"}}
> {"jsonrpc":"2.0","method":"textDocument/didClose","params":{"textDocument":{"uri":"file:///never-opened.py"}}}
# A document nobody opened has nothing to complete, which is no error.
> {"jsonrpc":"2.0","id":6,"method":"textDocument/completion","params":{"textDocument":{"uri":"file:///never-opened.py"},"position":{"line":0,"character":0}}}
< {"id":6,"error":"<absent>"}
# Places far outside the text, ranges the wrong way round, an empty change list.
> {"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///a.py","languageId":"python","version":1,"text":"x = 1\n"}}}
> {"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///a.py","version":2},
   "contentChanges":[{"range":{"start":{"line":900,"character":900},"end":{"line":4294967295,"character":4294967295}},"text":"y = 2\n"},
   {"range":{"start":{"line":1,"character":3},"end":{"line":0,"character":1}},"text":"#"}]}}
> {"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///a.py","version":3},"contentChanges":[]}}
> {"jsonrpc":"2.0","id":7,"method":"textDocument/completion","params":{"textDocument":{"uri":"file:///a.py"},"position":{"line":99999,"character":99999}}}
< {"id":7,"error":"<absent>"}
> {"jsonrpc":"2.0","id":8,"method":"textDocument/completion","params":{"textDocument":{"uri":"file:///a.py"},"position":{"line":-1,"character":0}}}
< {"id":8,"error":{"code":-32602,"message":"~line"}}
> {"jsonrpc":"2.0","id":9,"method":"shutdown"}
< {"id":9,"result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
