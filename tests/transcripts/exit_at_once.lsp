# exit is obeyed before initialize, too.
> {"jsonrpc":"2.0","method":"exit"}
exit 1
