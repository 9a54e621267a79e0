# An editor that dies closes our input: the process must not stay behind.
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
eof
exit 1
