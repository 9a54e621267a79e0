;;; eglot-actions.el --- Every code action in eglot, but for fixes: eglot shows a server no diagnostics but its own.  -*- lexical-binding: t -*-

(load (expand-file-name "eglot-user.el" (file-name-directory load-file-name)) nil t)
(load (expand-file-name "actions.el" (file-name-directory load-file-name)) nil t)

(defun user-serve ()
  "Have the new buffer served."
  (eglot--maybe-activate-editing-mode)
  (user-wait "eglot in the second buffer" #'eglot-managed-p))

(defun user-menu (start end)
  "Open eglot's menu of code actions for START to END, or for START alone."
  (eglot--signal-textDocument/didChange)
  (eglot-code-actions start end nil t))

(user-run (format "emacs %s with eglot, actions" emacs-version)
  (setq loopd-settings '(:context (:tokens 512)))
  ;; eglot asks before it lets a server edit; this user says yes.
  (advice-add 'y-or-n-p :override #'always)
  (user-connect)
  (prog1 (actions-all "emacs-eglot" (format "%s, eglot 1.9" emacs-version) #'user-menu '("fix"))
    (dolist (buffer (buffer-list)) (with-current-buffer buffer (set-buffer-modified-p nil)))
    (eglot-shutdown (eglot-current-server))))
;;; eglot-actions.el ends here
