# After shutdown the client may just close our input instead of sending exit.
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
> {"jsonrpc":"2.0","id":2,"method":"shutdown"}
< {"id":2,"result":null}
eof
exit 0
