# Bodies that are no JSON: a parse error each, and the conversation goes on.
> {"jsonrpc":"2.0","id":"init","method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":"init","result":{"capabilities":"<any>"}}
# Cut off.
raw Content-Length: 24\r\n\r\n{"jsonrpc":"2.0","id":2,
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 1","method":"no/such"}
< {"id":"alive 1","error":{"code":-32601}}
# Empty.
raw Content-Length: 0\r\n\r\n
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 2","method":"no/such"}
< {"id":"alive 2","error":{"code":-32601}}
# Blanks.
raw Content-Length: 3\r\n\r\n\x20\x20\x20
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 3","method":"no/such"}
< {"id":"alive 3","error":{"code":-32601}}
# Not UTF-8.
raw Content-Length: 32\r\n\r\n{"jsonrpc":"2.0","method":"\xff\xfe\x80"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 4","method":"no/such"}
< {"id":"alive 4","error":{"code":-32601}}
# A lone continuation byte in a string that would otherwise be fine.
raw Content-Length: 37\r\n\r\n{"jsonrpc":"2.0","id":7,"method":"\x80"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 5","method":"no/such"}
< {"id":"alive 5","error":{"code":-32601}}
# Two values.
raw Content-Length: 4\r\n\r\n{}{}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 6","method":"no/such"}
< {"id":"alive 6","error":{"code":-32601}}
# A comment.
raw Content-Length: 9\r\n\r\n{}//hello
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 7","method":"no/such"}
< {"id":"alive 7","error":{"code":-32601}}
# NUL bytes.
raw Content-Length: 4\r\n\r\n\x00\x00\x00\x00
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 8","method":"no/such"}
< {"id":"alive 8","error":{"code":-32601}}
# Nested deeper than any stack.
raw Content-Length: 200000\r\n\r\n
repeat 200000 [
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 9","method":"no/such"}
< {"id":"alive 9","error":{"code":-32601}}
> {"jsonrpc":"2.0","id":"bye","method":"shutdown"}
< {"id":"bye","result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
