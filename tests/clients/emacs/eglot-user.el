;;; eglot-user.el --- How a user of eglot completes; what both of its tests begin with.  -*- lexical-binding: t -*-

(package-initialize)
(load (expand-file-name "user.el" (file-name-directory load-file-name)) nil t)
(require 'loopd-eglot)
(require 'python)

(defun user-connect ()
  "Visit the file that the command line names, and wait until eglot is connected and the model is there."
  (setq eglot-sync-connect 10)
  (find-file (car command-line-args-left))
  (setq command-line-args-left nil)
  (python-mode)
  (apply #'eglot (eglot--guess-contact))
  (user-wait "the connection" #'eglot-current-server)
  (user-wait-for-model))

(defun user-complete ()
  "Complete at point as a user does with M-TAB; returns the line afterwards."
  (eglot--signal-textDocument/didChange)
  (completion-at-point)
  (user-line))
