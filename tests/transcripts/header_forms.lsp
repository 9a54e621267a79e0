# Headers that are unusual but right: other order, other case, a content type, blanks, no blank after the colon.
raw Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 92\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
raw content-length:44\r\nCONTENT-TYPE: application/vscode-jsonrpc; charset=utf8\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such2"}
< {"id":2,"error":{"code":-32601}}
raw Content-Length:   44  \r\n\r\n{"jsonrpc":"2.0","id":3,"method":"no/such3"}
< {"id":3,"error":{"code":-32601}}
> {"jsonrpc":"2.0","id":4,"method":"shutdown"}
< {"id":4,"result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
