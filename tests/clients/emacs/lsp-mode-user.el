;;; lsp-mode-user.el --- How a user of lsp-mode completes; what both of its tests begin with.  -*- lexical-binding: t -*-

(package-initialize)
(load (expand-file-name "user.el" (file-name-directory load-file-name)) nil t)
(require 'loopd-lsp-mode)
(require 'lsp-completion)
(require 'python)

(defun user-complete ()
  "Complete at point as a user does with M-TAB; returns the line afterwards."
  (completion-at-point)
  (user-line))
