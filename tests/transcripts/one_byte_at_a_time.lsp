# Every byte arrives by itself, in headers and in the middle of UTF-8 characters.
one-by-one
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
> {"jsonrpc":"2.0","id":"😀","method":"größe"}
< {"id":"😀","error":{"code":-32601,"message":"~größe"}}
> {"jsonrpc":"2.0","id":2,"method":"shutdown"}
< {"id":2,"result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
