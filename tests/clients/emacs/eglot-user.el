;;; eglot-user.el --- How a user of eglot completes; what both of its tests begin with.  -*- lexical-binding: t -*-

(package-initialize)
(load (expand-file-name "user.el" (file-name-directory load-file-name)) nil t)
(require 'loopd-eglot)
(require 'python)

(defun user-complete ()
  "Complete at point as a user does with M-TAB; returns the line afterwards."
  (eglot--signal-textDocument/didChange)
  (completion-at-point)
  (user-line))
