# After shutdown only exit counts.
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
> {"jsonrpc":"2.0","id":2,"method":"shutdown","params":null}
< {"id":2,"result":null}
> {"jsonrpc":"2.0","id":3,"method":"textDocument/completion","params":{"textDocument":{"uri":"file:///a.py"},"position":{"line":0,"character":0}}}
< {"id":3,"error":{"code":-32600}}
> {"jsonrpc":"2.0","id":4,"method":"shutdown"}
< {"id":4,"error":{"code":-32600}}
> {"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///a.py","languageId":"python","version":1,"text":""}}}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
