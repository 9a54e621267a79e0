# Four messages in one write, the whole life of a server.
raw Content-Length: 93\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"capabilities":{}}}\nContent-Length: 52\r\n\r\n{"jsonrpc":"2.0","method":"initialized","params":{}}Content-Length: 44\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"shutdown"}Content-Length: 33\r\n\r\n{"jsonrpc":"2.0","method":"exit"}
< {"id":1,"result":{"capabilities":"<any>"}}
< {"id":2,"result":null}
exit 0
