-- The tables, and what is done to them in one round trip. Made once, on an empty database.

CREATE TABLE profile (
    store uuid NOT NULL,
    id uuid NOT NULL,
    -- The profile that it became part of; always one that lives.
    merged_into uuid,
    -- By `group.trait`: the value, and the microsecond in which it was received.
    traits jsonb NOT NULL,
    PRIMARY KEY (store, id)
) WITH (fillfactor = 70); -- room for the next version of a row on its page: an update touches no index then

CREATE INDEX merged ON profile (store, merged_into) WHERE merged_into IS NOT NULL;

-- Never changed once it is there: it leads to its profile, and from there to whatever that was merged into.
CREATE TABLE identifier (
    store uuid NOT NULL,
    kind smallint NOT NULL,
    value text COLLATE "C" NOT NULL,
    profile uuid NOT NULL,
    PRIMARY KEY (store, kind, value)
);

-- Create Profile, where it merges nobody: the profile, or null if several are to be merged. A caller repeats it after
-- serialization_failure: somebody else was quicker.
CREATE FUNCTION create_profile(_store uuid, _kinds smallint[], _values text[], _new uuid, _traits jsonb) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    roots uuid[];
    known bigint;
    added bigint;
    owner uuid := _new;
BEGIN
    SELECT array_agg(DISTINCT coalesce(one.merged_into, one.id)), count(*) INTO roots, known
    FROM unnest(_kinds, _values) AS given (kind, value)
    JOIN identifier AS claim ON claim.store = _store AND claim.kind = given.kind AND claim.value = given.value
    JOIN profile AS one ON one.store = _store AND one.id = claim.profile;
    IF known = 0 THEN
        INSERT INTO profile (store, id, traits) VALUES (_store, _new, _traits);
    ELSIF cardinality(roots) = 1 THEN
        owner := roots[1];
        UPDATE profile SET traits = traits || (
            SELECT coalesce(jsonb_object_agg(given.key, given.value), '{}')
            FROM jsonb_each(_traits) AS given
            WHERE coalesce((traits -> given.key ->> 1)::bigint < (given.value ->> 1)::bigint, true)
        ) WHERE store = _store AND id = owner AND merged_into IS NULL;
        IF NOT FOUND THEN
            RAISE serialization_failure USING MESSAGE = 'merged meanwhile';
        END IF;
    ELSE
        RETURN NULL;
    END IF;
    IF known < cardinality(_kinds) THEN
        -- In one order, so that two who add the same wait for each other and never in a circle.
        INSERT INTO identifier (store, kind, value, profile)
        SELECT _store, given.kind, given.value, owner FROM unnest(_kinds, _values) AS given (kind, value) ORDER BY 2, 3
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS added = ROW_COUNT;
        IF known + added < cardinality(_kinds) THEN
            RAISE serialization_failure USING MESSAGE = 'claimed meanwhile';
        END IF;
    END IF;
    RETURN owner;
END $$;

-- Create Profile, where it merges: everybody becomes part of the oldest. In a serializable transaction.
CREATE FUNCTION merge_profiles(_store uuid, _kinds smallint[], _values text[], _traits jsonb) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    roots uuid[];
    oldest uuid;
    merged jsonb := '{}';
    part jsonb;
BEGIN
    SELECT array_agg(DISTINCT coalesce(one.merged_into, one.id)) INTO roots
    FROM unnest(_kinds, _values) AS given (kind, value)
    JOIN identifier AS claim ON claim.store = _store AND claim.kind = given.kind AND claim.value = given.value
    JOIN profile AS one ON one.store = _store AND one.id = claim.profile;
    IF roots IS NULL THEN
        RAISE serialization_failure USING MESSAGE = 'nobody is left';
    END IF;
    oldest := roots[1];
    -- Oldest first: of two values of one time the older profile's stays.
    FOR part IN
        SELECT traits FROM profile WHERE store = _store AND id = ANY (roots) ORDER BY id FOR UPDATE
    LOOP
        merged := merged || newer_than(merged, part);
    END LOOP;
    merged := merged || newer_than(merged, _traits);
    UPDATE profile SET traits = merged WHERE store = _store AND id = oldest;
    UPDATE profile SET merged_into = oldest
    WHERE store = _store AND id <> oldest AND (id = ANY (roots) OR merged_into = ANY (roots));
    INSERT INTO identifier (store, kind, value, profile)
    SELECT _store, given.kind, given.value, oldest FROM unnest(_kinds, _values) AS given (kind, value) ORDER BY 2, 3
    ON CONFLICT DO NOTHING;
    RETURN oldest;
END $$;

-- Those of the given traits that are newer than what is there.
CREATE FUNCTION newer_than(_there jsonb, _given jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(given.key, given.value), '{}')
    FROM jsonb_each(_given) AS given
    WHERE coalesce((_there -> given.key ->> 1)::bigint < (given.value ->> 1)::bigint, true)
$$;
