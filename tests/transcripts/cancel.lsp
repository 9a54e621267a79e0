# Cancelling what is not running, or was never asked, changes nothing.
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
> {"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":12345}}
> {"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"never"}}
> {"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}
> {"jsonrpc":"2.0","method":"$/cancelRequest","params":{}}
> {"jsonrpc":"2.0","method":"$/cancelRequest"}
> {"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":{"a":1}}}
> {"jsonrpc":"2.0","id":2,"method":"shutdown"}
< {"id":2,"result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
