"""The official Python client, unchanged. KITH_TEST_BASE_URL says where."""

import os
import time
import unittest
import uuid

from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.rest.memory.v1.bulk import BulkList
from twilio.rest.memory.v1.identifier import IdentifierList
from twilio.rest.memory.v1.identity_resolution_setting import (
    IdentityResolutionSettingList,
)
from twilio.rest.memory.v1.lookup import LookupList
from twilio.rest.memory.v1.profile import ProfileList
from twilio.rest.memory.v1.store import StoreList
from twilio.rest.memory.v1.trait_group import TraitGroupList

BASE = os.environ["KITH_TEST_BASE_URL"]
UNKNOWN = "mem_profile_00000000000000000000000000"
# What is written to the log is in the profile within this many seconds.
PATIENCE = 20


def client():
    one = Client("AC00000000000000000000000000000000", "development")
    one.memory.base_url = BASE
    return one


memory = client().memory.v1


def unique():
    return uuid.uuid4().hex


def email():
    return f"python.{unique()}@example.com"


def phone():
    return f"+1317{uuid.uuid4().int % 10_000_000:07}"


def eventually(read, wanted):
    """Reads until it is as wanted; the last that was read."""
    limit = time.monotonic() + PATIENCE
    while True:
        read_now = read()
        if wanted(read_now) or time.monotonic() > limit:
            return read_now
        time.sleep(0.05)


def header(answer, name):
    """A header of an answer; the client keeps them as they were sent."""
    return {key.lower(): value for key, value in answer.headers.items()}[name]


def resource(answer):
    """What a finished write of the control plane was about."""
    operation = memory.operations(header(answer, "operation-id")).fetch()
    assert operation.status == "COMPLETED", operation.status
    assert operation.status_url == header(answer, "location")
    assert operation.completed_at >= operation.created_at
    return operation.result["id"]


def new_store(description="of the client's tests"):
    answer = memory.stores.create_with_http_info(
        StoreList.ServiceRequest(
            {"displayName": f"python-{unique()}", "description": description}
        )
    )
    assert answer.status_code == 202
    return resource(answer)


class Contract(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = new_store()

    @classmethod
    def tearDownClass(cls):
        memory.stores(cls.store).delete_with_http_info()

    def refused(self, status, code, call):
        with self.assertRaises(TwilioRestException) as caught:
            call()
        self.assertEqual((caught.exception.status, caught.exception.code), (status, code))
        return caught.exception

    def create(self, **contact):
        data = ProfileList.ProfileData({"traits": {"Contact": contact}})
        return memory.profiles(self.store).create(data)


class Definitions(Contract):
    def test_a_store_is_created_fetched_changed_and_deleted(self):
        store = new_store("first")
        fetched = memory.stores(store).fetch()
        self.assertEqual((fetched.id, fetched.status), (store, "ACTIVE"))
        self.assertEqual((fetched.description, fetched.version), ("first", 1))
        change = StoreList.PatchStoreRequest({"description": "second"})
        tag = header(memory.stores(store).fetch_with_http_info(), "etag")
        changed = memory.stores(store).patch_with_http_info(
            if_match=tag, patch_store_request=change
        )
        self.assertEqual((changed.status_code, resource(changed)), (202, store))
        again = memory.stores(store).fetch()
        self.assertEqual((again.description, again.version), ("second", 2))
        self.refused(
            412,
            520043,
            lambda: memory.stores(store).patch(
                if_match=tag, patch_store_request=change
            ),
        )
        self.assertIn(store, memory.stores.list())
        deleted = memory.stores(store).delete_with_http_info()
        self.assertEqual(deleted.status_code, 202)
        self.refused(404, 520041, memory.stores(store).fetch)
        self.assertNotIn(store, memory.stores.list())

    def test_stores_are_listed_over_pages(self):
        mine = {new_store(), new_store(), self.store}
        for order in ("ASC", "DESC"):
            listed = memory.stores.list(page_size=1, order_by=order)
            self.assertLessEqual(mine, set(listed))
            self.assertEqual(len(listed), len(set(listed)))
            self.assertEqual(listed, sorted(listed, reverse=order == "DESC"))
        for store in mine - {self.store}:
            memory.stores(store).delete_with_http_info()

    def test_trait_groups_are_created_listed_changed_and_deleted(self):
        groups = memory.trait_groups(self.store)
        definition = {"dataType": "STRING", "description": "of a plan"}
        answer = groups.create_with_http_info(
            TraitGroupList.TraitGroupRequest(
                {
                    "displayName": "Plan",
                    "description": "what is paid",
                    "traits": {"tier": definition},
                }
            )
        )
        self.assertEqual(answer.status_code, 202)
        resource(answer)
        plan = memory.trait_groups(self.store, "Plan").fetch(include_traits=True)
        self.assertEqual(plan.trait_group["displayName"], "Plan")
        self.assertEqual(plan.trait_group["traits"]["tier"]["dataType"], "STRING")
        names = [one.display_name for one in groups.list(page_size=1)]
        self.assertEqual(sorted(names), ["Contact", "Plan"])
        change = TraitGroupList.PatchTraitGroupRequest(
            {"traits": {"seats": {"dataType": "NUMBER"}}}
        )
        changed = memory.trait_groups(self.store, "Plan").patch_with_http_info(
            patch_trait_group_request=change
        )
        resource(changed)
        plan = memory.trait_groups(self.store, "Plan").fetch(include_traits=True)
        self.assertEqual(set(plan.trait_group["traits"]), {"tier", "seats"})
        resource(memory.trait_groups(self.store, "Plan").delete_with_http_info())
        self.refused(404, 520047, memory.trait_groups(self.store, "Plan").fetch)
        self.refused(409, 520050, memory.trait_groups(self.store, "Contact").delete)

    def test_settings_are_read_and_replaced(self):
        settings = memory.identity_resolution_settings(self.store)
        before = settings.fetch()
        config = [
            {**one, "limit": 7} if one["idType"] == "email" else one
            for one in before.identifier_configs
        ]
        core = IdentityResolutionSettingList.IdentityResolutionSettingsCore(
            {"identifierConfigs": config, "matchingRules": before.matching_rules}
        )
        answer = settings.update_with_http_info(
            identity_resolution_settings_core=core
        )
        self.assertEqual(answer.status_code, 202)
        resource(answer)
        after = settings.fetch()
        limits = {one["idType"]: one["limit"] for one in after.identifier_configs}
        self.assertEqual(limits["email"], 7)
        self.assertEqual(after.matching_rules, before.matching_rules)
        self.assertEqual(after.version, before.version + 1)

    def test_an_operation_that_is_unknown(self):
        unknown = "mem_operation_00000000000000000000000000"
        self.refused(404, 520052, memory.operations(unknown).fetch)


class Profiles(Contract):
    def test_a_profile_is_created_found_and_read(self):
        address, number = email(), phone()
        first = self.create(email=address, phone=number, firstName="Ada", city="London")
        self.assertTrue(first.id.startswith("mem_profile_"))
        self.assertEqual(self.create(email=address.upper()).id, first.id)

        def read():
            return memory.profiles(self.store, first.id).fetch().traits["Contact"]

        contact = eventually(read, lambda one: len(one) == 4)
        self.assertEqual(contact["firstName"], "Ada")
        self.assertEqual(contact["phone"], number)
        fetched = memory.profiles(self.store, first.id).fetch(trait_groups="Contact")
        self.assertEqual(fetched.id, first.id)
        self.assertIsNotNone(fetched.created_at)
        traits = memory.traits(self.store, first.id).list(page_size=1)
        self.assertEqual(
            {(one.trait_group, one.name) for one in traits},
            {("Contact", name) for name in contact},
        )

    def test_a_profile_is_patched_and_deleted(self):
        profile = self.create(email=email(), firstName="Ada")
        patch = ProfileList.ProfilePatch({"traits": {"Contact": {"city": "Turin"}}})
        memory.profiles(self.store, profile.id).patch(patch)

        def city():
            traits = memory.profiles(self.store, profile.id).fetch().traits
            return traits["Contact"].get("city")

        self.assertEqual(eventually(city, bool), "Turin")
        self.assertTrue(memory.profiles(self.store, profile.id).delete())
        self.refused(404, 20404, memory.profiles(self.store, profile.id).fetch)

    def test_two_that_turn_out_to_be_one_are_merged(self):
        address, number = email(), phone()
        older = self.create(email=address)
        younger = self.create(phone=number)
        self.assertNotEqual(older.id, younger.id)
        self.assertEqual(self.create(email=address, phone=number).id, older.id)
        # The client follows no redirect: it answers what a 301 says, which has no id.
        moved = memory.profiles(self.store, younger.id).fetch()
        self.assertEqual((moved.id, moved.message), (None, "This resource has moved."))
        patch = ProfileList.ProfilePatch({"traits": {"Contact": {"city": "Turin"}}})
        self.refused(308, 308, lambda: memory.profiles(self.store, younger.id).patch(patch))
        self.refused(308, 308, memory.profiles(self.store, younger.id).delete)

    def test_profiles_are_listed_over_pages(self):
        store, mine = new_store(), set()
        for _ in range(5):
            contact = {"traits": {"Contact": {"email": email()}}}
            data = ProfileList.ProfileData(contact)
            mine.add(memory.profiles(store).create(data).id)
        listed = memory.profiles(store).list(page_size=2)
        self.assertEqual((set(listed), len(listed)), (mine, 5))
        memory.stores(store).delete_with_http_info()

    def test_identifiers_are_added_changed_and_removed(self):
        first, second, number = email(), email(), phone()
        profile = self.create(email=first)
        identifiers = memory.identifiers(self.store, profile.id)
        identifiers.create(IdentifierList.Identifier({"idType": "phone", "value": number}))
        held = {one.id_type: one.values for one in identifiers.list()}
        self.assertEqual(held, {"email": [first], "phone": [number]})
        update = {"idType": "email", "oldValue": first, "newValue": second}
        of_type = memory.identifiers(self.store, profile.id, "email")
        of_type.patch(IdentifierList.IdentifierUpdate(update))
        self.assertEqual(of_type.fetch().values, [second])
        self.refused(
            404, 20404, lambda: of_type.patch(IdentifierList.IdentifierUpdate(update))
        )
        self.assertTrue(of_type.delete(remove_all=True))
        self.assertEqual([one.id_type for one in identifiers.list()], ["phone"])

    def test_a_lookup_says_who_has_a_value(self):
        address = email()
        profile = self.create(email=address)
        wanted = {"idType": "email", "value": f" {address.upper()} "}
        found = memory.lookup(self.store).create(LookupList.Identifier(wanted))
        self.assertEqual(found.normalized_value, address)
        self.assertEqual(found.profiles, [profile.id])
        nobody = {"idType": "email", "value": email()}
        missed = memory.lookup(self.store).create(LookupList.Identifier(nobody))
        self.assertEqual(missed.profiles, [])

    def test_a_batch_is_taken_whole(self):
        addresses = [email() for _ in range(3)]
        items = [
            {"traits": {"Contact": {"email": one, "firstName": "Ada"}}}
            for one in addresses
        ]
        request = BulkList.UpdateProfilesBulkRequest({"profiles": items})
        answer = memory.bulk(self.store).update_with_http_info(request)
        self.assertEqual(answer.status_code, 202)
        for one in addresses:
            wanted = LookupList.Identifier({"idType": "email", "value": one})
            self.assertEqual(len(memory.lookup(self.store).create(wanted).profiles), 1)
        broken = [items[0], {"traits": {"Contact": {"email": "no address"}}}]
        request = BulkList.UpdateProfilesBulkRequest({"profiles": broken})
        self.refused(400, 400, lambda: memory.bulk(self.store).update(request))

    def test_what_is_wrong_is_told(self):
        self.refused(400, 400, lambda: self.create(firstName="nobody"))
        self.refused(404, 20404, memory.profiles(self.store, UNKNOWN).fetch)
        self.refused(400, 400, memory.profiles(self.store, "mem_profile_x").fetch)
        stranger = client()
        stranger.auth = ("AC00000000000000000000000000000000", "wrong")
        one = stranger.memory.v1.profiles(self.store, UNKNOWN)
        self.refused(401, 20003, one.fetch)


if __name__ == "__main__":
    unittest.main()
