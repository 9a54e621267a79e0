# Broken headers: each costs one parse error, and the next whole message is answered.
> {"jsonrpc":"2.0","id":"init","method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":"init","result":{"capabilities":"<any>"}}
# Content-Length is too small: the rest of the body is no header.
raw Content-Length: 5\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 1","method":"no/such"}
< {"id":"alive 1","error":{"code":-32601}}
# No Content-Length at all.
raw Content-Type: application/json\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 2","method":"no/such"}
< {"id":"alive 2","error":{"code":-32601}}
# No number.
raw Content-Length: many\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 3","method":"no/such"}
< {"id":"alive 3","error":{"code":-32601}}
# A number with something behind it.
raw Content-Length: 43abc\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 4","method":"no/such"}
< {"id":"alive 4","error":{"code":-32601}}
# A negative number.
raw Content-Length: -43\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 5","method":"no/such"}
< {"id":"alive 5","error":{"code":-32601}}
# A number that fits into no integer.
raw Content-Length: 99999999999999999999999999\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 6","method":"no/such"}
< {"id":"alive 6","error":{"code":-32601}}
# Two lengths that contradict each other.
raw Content-Length: 43\r\nContent-Length: 44\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 7","method":"no/such"}
< {"id":"alive 7","error":{"code":-32601}}
# An empty length.
raw Content-Length:\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 8","method":"no/such"}
< {"id":"alive 8","error":{"code":-32601}}
# No colon.
raw Content-Length 43\r\n\r\n{"jsonrpc":"2.0","id":2,"method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 9","method":"no/such"}
< {"id":"alive 9","error":{"code":-32601}}
# No header, just JSON.
raw {"jsonrpc":"2.0","id":2,"method":"no/such"}\r\n\r\n
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 10","method":"no/such"}
< {"id":"alive 10","error":{"code":-32601}}
# Bytes of no meaning.
raw \x00\x01\xff\xfe\x80Content-Leng\r\n\r\n\r\n
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 11","method":"no/such"}
< {"id":"alive 11","error":{"code":-32601}}
# A header cut off: the message behind it reads as its second half and is lost, the one after that is answered.
raw Content-Length: 4\r\n
> {"jsonrpc":"2.0","id":"lost","method":"no/such"}
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 12","method":"no/such"}
< {"id":"alive 12","error":{"code":-32601}}
> {"jsonrpc":"2.0","id":"bye","method":"shutdown"}
< {"id":"bye","result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
