;;; lsp-mode.el --- A user of lsp-mode: connects, completes at point, runs a code action, makes a module.  -*- lexical-binding: t -*-

(load (expand-file-name "lsp-mode-user.el" (file-name-directory load-file-name)) nil t)

(defun user-implement ()
  "Have a function without a body implemented by a code action; returns its first line."
  (user-insert-square)
  (let ((action (cl-find-if (lambda (one) (string-prefix-p "Implement square" (lsp-get one :title))) (lsp-code-actions-at-point))))
    (unless action (error "not offered: %S" (lsp-code-actions-at-point)))
    (lsp-execute-code-action action))
  (user-expect-implemented))

(user-run (format "emacs %s with lsp-mode" emacs-version)
  (setq lsp-auto-guess-root t lsp-enable-file-watchers nil lsp-warn-no-matched-clients nil lsp-enable-snippet nil
        lsp-session-file (expand-file-name "session" default-directory) lsp-headerline-breadcrumb-enable nil
        lsp-restart 'ignore)
  (advice-add 'y-or-n-p :override #'always)
  (find-file (car command-line-args-left))
  (setq command-line-args-left nil)
  (python-mode)
  (lsp-workspace-folders-add default-directory)
  (lsp)
  (user-wait "the connection" (lambda () (and (lsp-workspaces) (cl-every (lambda (one) (eq 'initialized (lsp--workspace-status one))) (lsp-workspaces)))))
  (user-wait-for-model)
  (lsp-completion-mode 1)
  (goto-char (point-max))
  (skip-chars-backward "\n")
  (insert "wid")
  (let ((first (user-complete)) second body
        (folder (expand-file-name "word_count" default-directory)) asked)
    (user-expect first "return 2 [*] (wid[a-z]+")
    (end-of-line)
    ;; Inside of the basic plane: lsp-mode 8.0 counts characters, where it has told the server to count UTF-16.
    (insert "\n\n\nname = \"größe\"; copy = na")
    (setq second (user-complete))
    (user-expect second "^name = \"größe\"; copy = na[a-z_]+")
    (setq body (user-implement))
    (cl-letf (((symbol-function 'completing-read) (lambda (prompt items &rest _) (setq asked prompt) (car items))))
      (loopd-generate-module folder "python" "Counts the words of a text.")
      (user-expect-module folder))
    (user-record "emacs-lsp-mode" (format "%s, lsp-mode 8.0" emacs-version) "popup" "accept" "actions" "module" "status")
    (format "%s / %s / %s" first second body)))
;;; lsp-mode.el ends here
