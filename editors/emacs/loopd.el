;;; loopd.el --- What the eglot and the lsp-mode client of loopd share: settings and state.  -*- lexical-binding: t -*-

(require 'url-util)

(defgroup loopd nil "Code completion with looped language models." :group 'tools)

(defcustom loopd-program "loopd" "The loopd program." :type 'string)

(defcustom loopd-settings nil
  "Settings of loopd as a property list, such as (:maxTokens 64 :depth (:identifier 1))."
  :type 'plist)

(defcustom loopd-modes
  '(python-mode c-mode c++-mode js-mode js2-mode typescript-mode rust-mode go-mode java-mode
    python-ts-mode c-ts-mode c++-ts-mode js-ts-mode typescript-ts-mode tsx-ts-mode rust-ts-mode go-ts-mode java-ts-mode)
  "Modes that loopd serves."
  :type '(repeat symbol))

(defvar loopd-state nil "What loopd said last: (STATE . MESSAGE); STATE is \"loading\", \"ready\" or \"error\".")

(defun loopd-hear (state message)
  "Remember STATE and MESSAGE, and show what is wrong."
  (setq loopd-state (cons state message))
  (when (equal state "error") (message "loopd: %s" message)))

(defun loopd-status ()
  "Say what loopd does right now."
  (interactive)
  (message "loopd: %s" (if loopd-state (format "%s, %s" (car loopd-state) (cdr loopd-state)) "not started")))

(defun loopd-read-module ()
  "Ask for the arguments of a module: folder, language, and what it is for."
  (list (read-directory-name "Folder: ") (read-string "Language: " "python") (read-string "What is it for? ")))

(defun loopd-uri (path)
  "The URI of PATH."
  (concat "file://" (mapconcat #'url-hexify-string (split-string (directory-file-name (expand-file-name path)) "/") "/")))

(provide 'loopd)
;;; loopd.el ends here
