;;; loopd-eglot.el --- loopd for eglot: completion at point, code actions, modules.  -*- lexical-binding: t -*-

(require 'cl-lib)
(require 'eglot)
(require 'loopd)

(cl-defmethod eglot-handle-notification (_server (_method (eql loopd/status)) &key state message &allow-other-keys)
  "Remember STATE and MESSAGE."
  (loopd-hear state message))

(cl-defmethod eglot-handle-notification (_server (_method (eql loopd/result)) &rest _)
  "Nothing is to be done: the result is in the buffer, and its trace is for clients that show it.")

;; eglot runs one server for a buffer; in these modes it is loopd from now on.
(add-to-list 'eglot-server-programs
             (cons loopd-modes (lambda (&rest _) (list loopd-program :initializationOptions loopd-settings))))

(defun loopd-generate-module (folder language about)
  "Generate a module in LANGUAGE into FOLDER; ABOUT says in a sentence what it is for.
The files are listed, and written on a yes; none is overwritten."
  (interactive (loopd-read-module))
  (jsonrpc-async-request (eglot--current-server-or-lose) :workspace/executeCommand
                         (list :command "loopd.module" :arguments (vector (loopd-uri folder) language about))
                         :error-fn (lambda (&rest _) (message "loopd did not take the command"))))

;; eglot 1.9 shows no progress that could be cancelled.
(defun loopd-cancel ()
  "Stop the action or the module that loopd is working on."
  (interactive)
  (jsonrpc-async-request (eglot--current-server-or-lose) :workspace/executeCommand (list :command "loopd.cancel")))

(provide 'loopd-eglot)
;;; loopd-eglot.el ends here
