;;; actions.el --- What a user does with every code action of tests/clients/actions.json, and with one that is cancelled.  -*- lexical-binding: t -*-

(require 'user)
(require 'json)

(defvar actions-rows
  (let ((json-object-type 'alist) (json-array-type 'list) (json-key-type 'symbol))
    (json-read-file (expand-file-name "../actions.json" (file-name-directory load-file-name)))))

(defvar actions-said nil "Messages that Emacs showed, the newest first.")
(advice-add 'message :before (lambda (text &rest values)
                               (when text (push (apply #'format-message text values) actions-said))))

(defun actions-text ()
  "The buffer's text without the line break that Emacs may add at its end."
  (string-trim-right (buffer-substring-no-properties (point-min) (point-max)) "\n"))

(defun actions-point (place)
  "The position of PLACE, a line and a column from 0."
  (save-excursion
    (goto-char (point-min))
    (forward-line (car place))
    (+ (point) (cadr place))))

(defun actions-choose (row open-menu)
  "Make ROW's text the buffer's, and choose its action from the menu that OPEN-MENU shows for a region or nil."
  (erase-buffer)
  (insert (string-join (alist-get 'text row) "\n") "\n")
  (goto-char (actions-point (alist-get 'start row)))
  (setq actions-said nil)
  (let ((last-nonmenu-event t) (title (alist-get 'title row)))
    (cl-letf (((symbol-function 'completing-read)
               (lambda (_prompt items &rest _)
                 (let ((titles (mapcar (lambda (one) (if (consp one) (car one) one)) (all-completions "" items))))
                   (or (cl-find-if (lambda (one) (string-prefix-p title one)) titles)
                       (error "%s is not offered, but %S" title titles))))))
      (funcall open-menu (point) (and (alist-get 'end row) (actions-point (alist-get 'end row)))))))

(defun actions-loopd-said ()
  "The last message of loopd's, nil where there is none."
  (cl-find-if (lambda (one) (string-match-p "loopd: " one)) actions-said))

(defun actions-run (row open-menu)
  "Run ROW's action; returns whether it did something.
Whether a draft passes the checks is the model's business; where none does, the user is told."
  (let* ((action (alist-get 'action row)) (before (string-join (alist-get 'text row) "\n")) (creates (alist-get 'creates row)) after)
    (actions-choose row open-menu)
    ;; eglot 1.9 leaves a new file as a buffer that is not saved, editors/emacs writes it for lsp-mode.
    (cl-flet ((created () (and creates (or (file-exists-p creates)
                                           (let ((other (get-file-buffer creates))) (and other (> (buffer-size other) 0)))))))
      (user-wait action (lambda () (or (actions-loopd-said) (created) (not (equal (actions-text) before)))) 60)
      (setq after (actions-text))
      (cond
       ((created))
       ((actions-loopd-said)
        (when (alist-get 'always row) (error "%s says %s" action (actions-loopd-said)))
        (unless (equal after before) (error "%s changed the text and says %s" action (actions-loopd-said)))
        (and (alist-get 'says row) t))
       ((alist-get 'says row) (error "%s says nothing" action))
       ((and (string-prefix-p (alist-get 'head row) after) (string-suffix-p (alist-get 'tail row) after)))
       (t (error "%s changed around it: %S" action after))))))

(defun actions-cancel (open-menu)
  "Cancel an action that takes its time, and see that nothing comes of it.
Another action, which is chosen later and done, shows that the server goes on."
  (let* ((body `("def total(prices):" "    total = 0"
                 ,@(mapcar (lambda (number) (format "    total += prices[%d]" number)) (number-sequence 1 30)) "    return total"))
         (long `((title . "Find and repair") (text . ,body) (start 1 4) (end ,(1- (length body)) 16)))
         (buffer (current-buffer)))
    (actions-choose long open-menu)
    (loopd-cancel)
    (with-current-buffer (find-file-noselect (expand-file-name "second.py"))
      (insert "side = 2\n")
      (funcall (buffer-local-value 'major-mode buffer))
      (user-serve)
      (actions-run (car actions-rows) open-menu)
      (set-buffer-modified-p nil))
    (with-current-buffer buffer
      (unless (equal (actions-text) (string-join body "\n")) (error "a cancelled action changed the text: %S" (actions-text)))
      (erase-buffer)
      (insert "def area(width, height):\n    return wid")
      (unless (string-match-p "return wid[a-z]+" (user-complete)) (error "no completion afterwards: %S" (user-line)))
      (when (cl-find-if (lambda (one) (string-match-p "rror\\|cancel" one)) actions-said)
        (error "cancelling says %S" actions-said)))))

(defun actions-all (editor version open-menu &optional left-out)
  "Run all but LEFT-OUT, and cancel one; record what was seen for EDITOR of VERSION and say it."
  (let (done refused)
    (dolist (row actions-rows)
      (let ((action (alist-get 'action row)))
        (unless (member action left-out)
          (if (actions-run row open-menu) (push action done) (push action refused))
          (user-record editor version (concat "action " action)))))
    (user-record editor version "explain")
    (actions-cancel open-menu)
    (user-record editor version "cancel")
    (format "%s%s; cancelled" (string-join (nreverse done) ", ")
            (if refused (format "; with no good draft: %s" (string-join refused ", ")) ""))))

(provide 'actions)
;;; actions.el ends here
