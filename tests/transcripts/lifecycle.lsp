# A client that behaves: initialize, open, ask, shut down, exit.
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{}}}
< {"jsonrpc":"2.0","id":1,"result":{"serverInfo":{"name":"loopd","version":"<string>"},
   "capabilities":{"completionProvider":"<any>","inlineCompletionProvider":"<absent>"}},"error":"<absent>"}
> {"jsonrpc":"2.0","method":"initialized","params":{}}
> {"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///tmp/a.py","languageId":"python","version":1,"text":"x = 1\n"}}}
> {"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///tmp/a.py","version":7},
   "contentChanges":[{"range":{"start":{"line":0,"character":4},"end":{"line":0,"character":5}},"text":"2"}]}}
> {"jsonrpc":"2.0","method":"textDocument/didSave","params":{"textDocument":{"uri":"file:///tmp/a.py"}}}
> {"jsonrpc":"2.0","method":"textDocument/didClose","params":{"textDocument":{"uri":"file:///tmp/a.py"}}}
> {"jsonrpc":"2.0","id":"two","method":"shutdown"}
< {"jsonrpc":"2.0","id":"two","result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
