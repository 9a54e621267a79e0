# Code actions are offered by syntax, before the model is asked anything; commands are answered at once.
needs model
> {"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":null,"rootUri":null,"capabilities":{"textDocument":{"codeAction":{"codeActionLiteralSupport":{"codeActionKind":{"valueSet":[]}}}}}}}
< {"id":1,"result":{"capabilities":{"codeActionProvider":{"codeActionKinds":["quickfix","refactor.rewrite","source"],"resolveProvider":true},"executeCommandProvider":{"commands":["loopd.action","loopd.module","loopd.cancel"]}}}}
> {"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///nowhere/a.py","languageId":"python","version":1,"text":"def f(a):\n    pass\n"}}}
> {"jsonrpc":"2.0","id":2,"method":"textDocument/codeAction","params":{"textDocument":{"uri":"file:///nowhere/a.py"},"range":{"start":{"line":0,"character":0},"end":{"line":0,"character":0}},"context":{"diagnostics":[]}}}
< {"id":2,"result":[{"title":"Implement f (loopd)","kind":"refactor.rewrite","command":{"command":"loopd.action","arguments":["<any>"]},"data":{"action":"implement"},"edit":"<absent>","tags":"<absent>"},{"title":"Document f (loopd)"}]}
> {"jsonrpc":"2.0","id":3,"method":"textDocument/codeAction","params":{"textDocument":{"uri":"file:///nowhere/never.py"},"range":{"start":{"line":0,"character":0},"end":{"line":0,"character":0}},"context":{"diagnostics":[]}}}
< {"id":3,"result":[]}
> {"jsonrpc":"2.0","id":4,"method":"textDocument/codeAction","params":{"textDocument":{"uri":"file:///nowhere/a.py"}}}
< {"id":4,"error":{"code":-32602,"message":"~range"}}
> {"jsonrpc":"2.0","id":5,"method":"workspace/executeCommand","params":{"command":"other"}}
< {"id":5,"error":{"code":-32602}}
> {"jsonrpc":"2.0","id":6,"method":"codeAction/resolve","params":{"title":"someone else's"}}
< {"id":6,"result":{"title":"someone else's"}}
> {"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":"never"}}
> {"jsonrpc":"2.0","id":7,"method":"workspace/executeCommand","params":{"command":"loopd.cancel"}}
< {"id":7,"result":null}
> {"jsonrpc":"2.0","id":8,"method":"shutdown"}
< {"id":8,"result":null}
> {"jsonrpc":"2.0","method":"exit"}
exit 0
