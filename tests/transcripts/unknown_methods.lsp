# Unknown requests are answered, unknown notifications are not; neither ends the conversation.
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":1,"result":{"capabilities":"<any>"}}
> {"jsonrpc":"2.0","id":2,"method":"no/such/method","params":{"a":[1,2,3]}}
< {"id":2,"error":{"code":-32601,"message":"~no/such/method"}}
> {"jsonrpc":"2.0","id":3,"method":"$/optionalRequest"}
< {"id":3,"error":{"code":-32601}}
> {"jsonrpc":"2.0","method":"$/setTrace","params":{"value":"off"}}
> {"jsonrpc":"2.0","method":"$/somethingNew","params":[1]}
> {"jsonrpc":"2.0","method":"no/such/notification","params":{}}
> {"jsonrpc":"2.0","id":99,"result":{"answer":"to nothing we asked"}}
> {"jsonrpc":"2.0","id":98,"error":{"code":1,"message":"an error to nothing we asked"}}
> {"jsonrpc":"2.0","id":4,"method":"shutdown"}
< {"id":4,"result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
