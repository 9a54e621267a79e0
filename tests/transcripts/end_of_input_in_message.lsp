# The input ends in the middle of a message.
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
raw Content-Length: 4000\r\n\r\n{"jsonrpc":"2.0","id":2,
eof
exit 1
