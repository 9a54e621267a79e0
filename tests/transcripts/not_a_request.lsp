# JSON that is no request: invalid request, and the conversation goes on.
> {"jsonrpc":"2.0","id":"init","method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":"init","result":{"capabilities":"<any>"}}
# A batch: LSP has none.
> [{"jsonrpc":"2.0","id":1,"method":"a/b"},{"jsonrpc":"2.0","id":2,"method":"a/b"}]
<+ {"id":null,"error":{"code":-32600,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 1","method":"no/such"}
< {"id":"alive 1","error":{"code":-32601}}
# An empty batch.
> []
<+ {"id":null,"error":{"code":-32600,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 2","method":"no/such"}
< {"id":"alive 2","error":{"code":-32601}}
# A number.
> 42
<+ {"id":null,"error":{"code":-32600,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 3","method":"no/such"}
< {"id":"alive 3","error":{"code":-32601}}
# A string.
> "shutdown"
<+ {"id":null,"error":{"code":-32600,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 4","method":"no/such"}
< {"id":"alive 4","error":{"code":-32601}}
# Null.
> null
<+ {"id":null,"error":{"code":-32600,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 5","method":"no/such"}
< {"id":"alive 5","error":{"code":-32601}}
# Neither method nor result.
> {"jsonrpc":"2.0"}
<+ {"id":null,"error":{"code":-32600,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 6","method":"no/such"}
< {"id":"alive 6","error":{"code":-32601}}
# A method that is no string is refused under its own id.
> {"jsonrpc":"2.0","id":77,"method":5}
< {"id":77,"error":{"code":-32600}}
> {"jsonrpc":"2.0","id":"bye","method":"shutdown"}
< {"id":"bye","result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
