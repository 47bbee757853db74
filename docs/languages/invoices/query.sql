-- name: Pay :exec
UPDATE invoices SET paid = true WHERE id = $1;
