CREATE OR REPLACE VIEW outhook.report_audit AS
SELECT a.id, a.at, a.actor, a.key_id, a.key_tenant_id, a.action, a.tenant_id, a.object_type, a.object_id, a.detail,
    a.source_address, a.request_id
FROM outhook.audit_entries AS a;
COMMENT ON VIEW outhook.report_audit IS
    'One row per order that changed something or read a secret. actor: the key''s name, or the command line.';
