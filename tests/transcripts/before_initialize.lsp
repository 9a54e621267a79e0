# Requests before initialize are refused, notifications dropped; the second initialize is refused.
> {"jsonrpc":"2.0","id":1,"method":"textDocument/completion","params":{"textDocument":{"uri":"file:///a.py"},"position":{"line":0,"character":0}}}
< {"id":1,"error":{"code":-32002,"message":"<string>"},"result":"<absent>"}
> {"jsonrpc":"2.0","id":2,"method":"no/such/method"}
< {"id":2,"error":{"code":-32002}}
> {"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///a.py","languageId":"python","version":1,"text":""}}}
> {"jsonrpc":"2.0","id":3,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":3,"result":{"capabilities":"<any>"}}
> {"jsonrpc":"2.0","id":4,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":4,"error":{"code":-32600}}
> {"jsonrpc":"2.0","id":5,"method":"shutdown"}
< {"id":5,"result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
