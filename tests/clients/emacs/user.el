;;; user.el --- What the Emacs tests share: waiting, looking, recording what was seen to work.  -*- lexical-binding: t -*-

(require 'cl-lib)
(add-to-list 'load-path (expand-file-name "../../../editors/emacs" (file-name-directory load-file-name)))
(require 'loopd)
(setq loopd-program (getenv "LOOPD_BINARY")
      loopd-settings '(:depth (:module [1 2]) :context (:tokens 512)))

(defun user-wait (what condition &optional seconds)
  "Let the server talk until CONDITION holds; WHAT names it in the error that comes after SECONDS."
  (with-timeout ((or seconds 20) (error "waited %s s for %s in %S" (or seconds 20) what (buffer-string)))
    (while (not (funcall condition)) (accept-process-output nil 0.02))))

(defun user-record (editor version &rest features)
  "Append to $LOOPD_RESULTS, for the table of clients, that FEATURES of EDITOR in VERSION work."
  (when-let ((path (getenv "LOOPD_RESULTS")))
    (dolist (feature features)
      (write-region (format "%s\t%s\t%s\ttyped\n" editor version feature) nil path t 'quiet))))

(defun user-expect (line expected)
  "Fail unless LINE matches the regexp EXPECTED and the buffer is clean."
  (unless (string-match-p expected line) (error "accepted %S, which is no %S" line expected))
  (when (string-match-p "\0" (buffer-string)) (error "the buffer holds a NUL byte")))

(defun user-line ()
  "The line at point."
  (buffer-substring-no-properties (line-beginning-position) (line-end-position)))

(defun user-wait-for-model ()
  "Wait until loopd says that it is ready."
  (user-wait "a model" (lambda () (member (car loopd-state) '("ready" "error"))))
  (unless (equal (car loopd-state) "ready") (error "the server says %S" loopd-state)))

(defun user-expect-implemented ()
  "Wait until the body of square is there; returns its first line."
  (user-wait "the function to be implemented" (lambda () (not (string-match-p "^    pass$" (buffer-string)))) 40)
  (goto-char (point-min))
  (search-forward "square.\"\"\"\n")
  (user-expect (user-line) "^    [^ ]")
  (user-line))

(defun user-insert-square ()
  "Insert a function without a body below the first line, and stand on its placeholder."
  (goto-char (point-min))
  (forward-line 1)
  (insert "\n\ndef square(side):\n    \"\"\"Return the area of a square.\"\"\"\n    pass\n")
  (forward-line -1)
  (back-to-indentation))

(defun user-expect-module (folder)
  "Wait until all files of the module are in FOLDER."
  (user-wait "the module"
             (lambda () (cl-every (lambda (name)
                                    (let ((file (expand-file-name name folder)))
                                      (and (file-exists-p file) (> (file-attribute-size (file-attributes file)) 0))))
                                  '("README.md" "__init__.py" "test_word_count.py" "word_count.py")))
             60)
  (unless (= 4 (length (directory-files folder nil "^[^.]"))) (error "other files: %S" (directory-files folder))))

(defmacro user-run (name &rest body)
  "Run BODY, print what it returns as the verdict on NAME, and end Emacs."
  (declare (indent 1))
  `(condition-case problem
       (let ((seen (progn ,@body)))
         (princ (format "\nok %s: %s\n" ,name seen))
         (kill-emacs 0))
     (error (princ (format "\nFAIL %s: %s\n" ,name (error-message-string problem)))
            (set-buffer-modified-p nil)
            (kill-emacs 1))))

(provide 'user)
;;; user.el ends here
