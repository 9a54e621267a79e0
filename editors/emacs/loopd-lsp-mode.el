;;; loopd-lsp-mode.el --- loopd for lsp-mode, beside other servers: completion, code actions, modules.  -*- lexical-binding: t -*-

(require 'lsp-mode)
(require 'loopd)

;; lsp-mode 8.0 fills new files before it creates them, so that a module is written here.
(defun loopd--new-files (edit)
  "The files that EDIT creates: a list of (PATH . TEXT)."
  (let (files)
    (seq-doseq (change (lsp-get edit :documentChanges))
      (if (equal (lsp-get change :kind) "create")
          (push (cons (lsp--uri-to-path (lsp-get change :uri)) "") files)
        (let ((file (assoc (lsp--uri-to-path (lsp-get (lsp-get change :textDocument) :uri)) files)))
          (when file
            (setcdr file (mapconcat (lambda (one) (lsp-get one :newText)) (lsp-get change :edits) ""))))))
    (nreverse files)))

(defun loopd--apply-edit (_workspace params)
  "Apply the edit of PARAMS; where it creates files, list them and ask before."
  (let* ((edit (lsp-get params :edit))
         (files (loopd--new-files edit))
         (yes (or (null files)
                  (y-or-n-p (format "%s: write these files?\n%s\n" (lsp-get params :label) (mapconcat #'car files "\n")))))
         (applied (and yes
                       (condition-case problem
                           (progn (if files (loopd--write files) (lsp--apply-workspace-edit edit)) t)
                         (error (message "loopd: %s" (error-message-string problem)) nil)))))
    (list :applied (or applied :json-false))))

(defun loopd--write (files)
  "Write FILES, a list of (PATH . TEXT), none of which may exist."
  (pcase-dolist (`(,path . ,text) files)
    (make-directory (file-name-directory path) t)
    (write-region text nil path nil 'quiet nil 'excl)))

;; An add-on: a language's own server keeps working in the same buffer.
(lsp-register-client
 (make-lsp-client :new-connection (lsp-stdio-connection (lambda () (list loopd-program)))
                  :activation-fn (lambda (_file mode) (memq mode loopd-modes))
                  :server-id 'loopd
                  :add-on? t
                  :priority -1
                  :initialization-options (lambda () loopd-settings)
                  :request-handlers (lsp-ht ("workspace/applyEdit" #'loopd--apply-edit))
                  :notification-handlers
                  (lsp-ht ("loopd/status" (lambda (_workspace status)
                                            (loopd-hear (lsp-get status :state) (lsp-get status :message))))
                          ("loopd/result" #'ignore))))

(defun loopd-generate-module (folder language about)
  "Generate a module in LANGUAGE into FOLDER; ABOUT says in a sentence what it is for.
Emacs asks before it writes; no file is overwritten."
  (interactive (loopd-read-module))
  (lsp-request-async "workspace/executeCommand"
                     (list :command "loopd.module" :arguments (vector (loopd-uri folder) language about))
                     #'ignore))

(defun loopd-cancel ()
  "Stop the action or the module that loopd is working on."
  (interactive)
  (lsp-request-async "workspace/executeCommand" (list :command "loopd.cancel") #'ignore))

(provide 'loopd-lsp-mode)
;;; loopd-lsp-mode.el ends here
