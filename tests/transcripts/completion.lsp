# A client with inline completion gets a list, and the popup is not offered to it.
needs model
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{"textDocument":{"inlineCompletion":{"dynamicRegistration":true}}}}}
< {"id":1,"result":{"capabilities":{"inlineCompletionProvider":"<any>","completionProvider":"<absent>"}}}
> {"jsonrpc":"2.0","method":"initialized","params":{}}
< {"method":"loopd/status","params":{"state":"<string>"}}
> {"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///tmp/a.py","languageId":"python","version":1,
   "text":"def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    return "}}}
> {"jsonrpc":"2.0","id":2,"method":"textDocument/inlineCompletion","params":{"textDocument":{"uri":"file:///tmp/a.py"},"position":{"line":5,"character":11},"context":{"triggerKind":1}}}
< {"id":2,"result":{"items":"<any>"},"error":"<absent>"}
# Inside a comment there is nothing to say, by default; the list is empty.
> {"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///tmp/b.py","languageId":"python","version":1,"text":"# a comment about \nx = 1\n"}}}
> {"jsonrpc":"2.0","id":3,"method":"textDocument/inlineCompletion","params":{"textDocument":{"uri":"file:///tmp/b.py"},"position":{"line":0,"character":18},"context":{"triggerKind":2}}}
< {"id":3,"result":{"items":[]}}
> {"jsonrpc":"2.0","id":4,"method":"shutdown"}
< {"id":4,"result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
