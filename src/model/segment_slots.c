/*
 * segment_slots.c
 *	  The slots of the registry: one for each piece that has a segment.
 *
 * All of this is done with the struct locked.
 */
#include "compat.h"

#include "common/settings.h"
#include "model/shared_registry.h"

/* A server has 64 of them, and so many for each backend; see dsm.c. */
#define SERVER_SEGMENTS (64 + 5 * MaxBackends)

int
slots_limit(void)
{
	return Min(SHARED_SLOTS, SERVER_SEGMENTS / 4);
}

SharedSlot *
slot_find_number(SharedRegistry *registry, uint64 number)
{
	for (int i = 0; i < slots_limit(); i++)
		if (registry->slots[i].number == number)
			return &registry->slots[i];
	return NULL;
}

void
slot_free_unused(SharedSlot *slot)
{
	if (!slot->retired || slot->mappings > 0)
		return;
	if (slot->handle != DSM_HANDLE_INVALID)
		dsm_unpin_segment(slot->handle);
	memset(slot, 0, sizeof(*slot));
	slot->handle = DSM_HANDLE_INVALID;
}

void
slot_retire(SharedRegistry *registry, SharedSlot *slot)
{
	uint64		number = slot->number;

	slot->retired = true;
	slot_free_unused(slot);
	for (int i = 0; i < slots_limit(); i++)
		if (registry->slots[i].number != 0 &&
			registry->slots[i].key.image == number)
		{
			registry->slots[i].retired = true;
			slot_free_unused(&registry->slots[i]);
		}
}

SharedSlot *
slot_find_key(SharedRegistry *registry, const SharedKey *key)
{
	for (int i = 0; i < slots_limit(); i++)
		if (registry->slots[i].number != 0 && !registry->slots[i].retired &&
			memcmp(&registry->slots[i].key, key, sizeof(*key)) == 0)
			return &registry->slots[i];
	return NULL;
}

/* Of the pieces that nobody has mapped, that mapped longest ago, or NULL */
static SharedSlot *
oldest_unused(SharedRegistry *registry)
{
	SharedSlot *oldest = NULL;

	for (int i = 0; i < slots_limit(); i++)
	{
		SharedSlot *slot = &registry->slots[i];

		if (slot->number != 0 && slot->mappings == 0 &&
			(oldest == NULL || slot->last_use < oldest->last_use))
			oldest = slot;
	}
	return oldest;
}

/* What pieces take, all of them or those that somebody has mapped */
static size_t
shared_size(SharedRegistry *registry, bool mapped)
{
	size_t		size = 0;

	for (int i = 0; i < slots_limit(); i++)
		if (!mapped || registry->slots[i].mappings > 0)
			size += registry->slots[i].size;
	return size;
}

bool
slots_make_room(SharedRegistry *registry, size_t size)
{
	size_t		limit = (size_t) shared_cache_size_setting * 1024;

	if (size > 0 && shared_size(registry, true) + size > limit)
		return false;
	while (shared_size(registry, false) + size > limit)
	{
		SharedSlot *oldest = oldest_unused(registry);

		if (oldest == NULL)
			return false;
		slot_retire(registry, oldest);
	}
	return true;
}

SharedSlot *
slot_reserve(SharedRegistry *registry, const SharedKey *key)
{
	SharedSlot *slot;

	if (key->part == SHARED_INDEX)
	{
		slot = slot_find_number(registry, key->image);
		if (slot == NULL || slot->retired)
			return NULL;
	}

	/* what there was of the table before, perhaps in other columns */
	for (int i = 0; i < slots_limit(); i++)
		if (registry->slots[i].number != 0 &&
			registry->slots[i].key.database == key->database &&
			registry->slots[i].key.table == key->table &&
			registry->slots[i].key.part == key->part)
			slot_retire(registry, &registry->slots[i]);

	if (slot_find_number(registry, 0) == NULL && oldest_unused(registry) != NULL)
		slot_retire(registry, oldest_unused(registry));
	slot = slot_find_number(registry, 0);
	if (slot != NULL)
	{
		slot->key = *key;
		slot->number = ++registry->last_number;
	}
	return slot;
}
