# exit without shutdown is the client's fault, and the exit code says so.
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
> {"jsonrpc":"2.0","method":"exit"}
exit 1
