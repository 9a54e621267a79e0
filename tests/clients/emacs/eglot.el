;;; eglot.el --- A user of eglot: connects, completes at point, goes on typing, runs a code action, makes a module.  -*- lexical-binding: t -*-

(load (expand-file-name "eglot-user.el" (file-name-directory load-file-name)) nil t)

(defun user-implement ()
  "Have a function without a body implemented by a code action; returns its first line."
  (user-insert-square)
  ;; eglot asks before it lets a server edit; this user says yes.
  (advice-add 'y-or-n-p :override #'always)
  (eglot--signal-textDocument/didChange)
  (let ((last-nonmenu-event t))
    (cl-letf (((symbol-function 'completing-read)
               (lambda (_prompt items &rest _)
                 (or (cl-find-if (lambda (title) (string-prefix-p "Implement square" title)) (mapcar #'car items))
                     (error "not offered: %S" items)))))
      (eglot-code-actions (point) nil nil t)))
  (user-expect-implemented))

(defun user-make-module ()
  "Have a module generated; the server lists its files and asks."
  (let* ((folder (expand-file-name "word_count" default-directory)) asked)
    (cl-letf (((symbol-function 'completing-read)
               (lambda (prompt items &rest _) (setq asked prompt) (car items))))
      (loopd-generate-module folder "python" "Counts the words of a text.")
      (user-expect-module folder))
    (unless (string-match-p "test_word_count\\.py" asked) (error "the list was %S" asked))))

(user-run (format "emacs %s with eglot" emacs-version)
  (user-connect)
  (goto-char (point-max))
  (skip-chars-backward "\n")
  (insert "wid")
  (let ((first (user-complete)) second body)
    (user-expect first "return 2 [*] (wid[a-z]+")
    (end-of-line)
    (insert "\n\n\nname = \"😀\"; copy = na")
    (setq second (user-complete))
    ;; Which name it is, is the model's business; that the word was continued in place is ours.
    (user-expect second "^name = \"😀\"; copy = na[a-z_]+")
    (setq body (user-implement))
    (user-make-module)
    (user-record "emacs-eglot" (format "%s, eglot 1.9" emacs-version) "popup" "accept" "actions" "module" "status")
    (eglot-shutdown (eglot-current-server))
    (format "%s / %s / %s" first second body)))
;;; eglot.el ends here
