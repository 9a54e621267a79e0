# Lengths and headers made to exhaust memory are refused at once.
> {"jsonrpc":"2.0","id":"init","method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"id":"init","result":{"capabilities":"<any>"}}
# One GiB announced, nothing sent.
raw Content-Length: 1073741824\r\n\r\n
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 1","method":"no/such"}
< {"id":"alive 1","error":{"code":-32601}}
# Just over the cap of 64 MiB.
raw Content-Length: 67108865\r\n\r\n
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 2","method":"no/such"}
< {"id":"alive 2","error":{"code":-32601}}
# A header line of 1 MB without an end.
repeat 1000000 A
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 3","method":"no/such"}
< {"id":"alive 3","error":{"code":-32601}}
# 50,000 header lines.
repeat 50000 X-Header: value\r\n
<+ {"id":null,"error":{"code":-32700,"message":"<string>"}}
> {"jsonrpc":"2.0","id":"alive 4","method":"no/such"}
< {"id":"alive 4","error":{"code":-32601}}
> {"jsonrpc":"2.0","id":"bye","method":"shutdown"}
< {"id":"bye","result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
