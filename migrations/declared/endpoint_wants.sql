-- endpoint_wants tells whether an endpoint wants an event, by its event types, its labels and its filter. patterns: type_patterns of
-- the event's type. event_labels: NULL for none. doc: event_document of the event, which is not evaluated without a filter; NULL, for
-- what can't be looked into, is what no filter is true of. One expression with each dear argument once, so that the planner puts it
-- into its callers; CASE, since of conditions it takes the cheapest first, and that would be the filter.
CREATE OR REPLACE FUNCTION outhook.endpoint_wants(event_types text[], patterns text[], filter_path jsonpath, doc jsonb,
    labels text[] DEFAULT '{}', event_labels text[] DEFAULT NULL) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN (event_types = '{}' OR event_types && patterns) AND (labels = '{}' OR labels && event_labels)
    THEN filter_path IS NULL OR jsonb_path_match(doc, filter_path, '{}', true) IS TRUE
    ELSE false END;
