"""What Twilio Agent Connect calls, unchanged. KITH_TEST_BASE_URL says where."""

import logging
import time
import unittest

import httpx
from tac.context import MemoryClient

from test_client import BASE, UNKNOWN, email, new_store, phone

ACCOUNT = "AC00000000000000000000000000000000"
# It logs what it was refused, which is what some of these tests are about.
logging.disable(logging.CRITICAL)


def client(store):
    one = MemoryClient(store, ACCOUNT, "development")
    one.base_url = BASE
    return one


class AgentConnect(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = new_store()
        cls.memory = client(cls.store)

    async def refused(self, status, call):
        with self.assertRaises(httpx.HTTPStatusError) as caught:
            await call
        self.assertEqual(caught.exception.response.status_code, status)
        return caught.exception.response.json()

    async def test_somebody_unknown_is_looked_up_and_created_by_phone(self):
        number = phone()
        missed = await self.memory.lookup_profile("phone", number)
        self.assertEqual((missed.normalized_value, missed.profiles), (number, []))
        profile = await self.memory.create_profile({"Contact": {"phone": number}})
        self.assertTrue(profile.startswith("mem_profile_"))
        spaced = f" {number[:5]} ({number[5:8]}) {number[8:]} "
        found = await self.memory.lookup_profile("phone", spaced)
        self.assertEqual((found.normalized_value, found.profiles), (number, [profile]))
        again = await self.memory.create_profile({"Contact": {"phone": number}})
        self.assertEqual(again, profile)

    async def test_a_profile_is_read_with_all_its_groups_or_some(self):
        address = email()
        traits = {"Contact": {"email": address, "firstName": "Ada"}}
        profile = await self.memory.create_profile(traits)
        limit = time.monotonic() + 20
        read = await self.memory.get_profile(profile)
        while "firstName" not in read.traits["Contact"] and time.monotonic() < limit:
            read = await self.memory.get_profile(profile)
        self.assertEqual(read.id, profile)
        self.assertRegex(read.created_at, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(read.traits, traits)
        of_one = await self.memory.get_profile(profile, ["Contact", "Nothing"])
        self.assertEqual(of_one.traits, traits)
        of_none = await self.memory.get_profile(profile, ["Nothing"])
        self.assertEqual(of_none.traits, {})

    async def test_a_merged_profile_is_read_where_it_went(self):
        address, number = email(), phone()
        first = await self.memory.create_profile({"Contact": {"email": address}})
        time.sleep(0.002)
        second = await self.memory.create_profile({"Contact": {"phone": number}})
        both = {"Contact": {"email": address, "phone": number}}
        self.assertEqual(await self.memory.create_profile(both), first)
        # It follows redirects, and keeps its credentials and its query on the way.
        read = await self.memory.get_profile(second, ["Contact"])
        self.assertEqual(read.id, first)
        self.assertEqual(read.traits["Contact"]["email"], address)

    async def test_what_is_refused_is_told(self):
        body = await self.refused(404, self.memory.get_profile(UNKNOWN))
        self.assertEqual((body["code"], body["status"]), (20404, 404))
        nobody = self.memory.create_profile({"Contact": {"firstName": "Ada"}})
        body = await self.refused(400, nobody)
        self.assertEqual(body["code"], 400)
        body = await self.refused(400, self.memory.lookup_profile("phone_number", "1"))
        self.assertEqual(body["details"]["errors"][0]["field"], "idType")
        elsewhere = client("mem_store_00000000000000000000000009")
        body = await self.refused(404, elsewhere.lookup_profile("phone", phone()))
        self.assertEqual(body["code"], 520041)
        stranger = MemoryClient(self.store, ACCOUNT, "wrong")
        stranger.base_url = BASE
        body = await self.refused(401, stranger.get_profile(UNKNOWN))
        self.assertEqual(body["code"], 20003)

    async def test_what_is_not_here_is_taken_for_an_empty_memory(self):
        profile = await self.memory.create_profile({"Contact": {"email": email()}})
        recalled = await self.memory.retrieve_memory(profile, query="anything")
        self.assertEqual((recalled.observations, recalled.summaries), ([], []))
        self.assertEqual(recalled.communications, [])
        observed = self.memory.create_observation(profile, "likes tea")
        self.assertEqual((await self.refused(404, observed))["code"], 20404)
        summary = {
            "content": "a talk",
            "conversationId": "conv_conversation_00000000000000000000000000",
            "occurredAt": "2025-01-15T10:30:45Z",
        }
        summed = self.memory.create_conversation_summaries(profile, [summary])
        self.assertEqual((await self.refused(404, summed))["code"], 20404)


if __name__ == "__main__":
    unittest.main()
