/*
 * slots.c
 *	  The slots of the control struct: one for each piece that has a segment.
 *
 * All of this is done with the struct locked.
 */
#include "compat.h"

#include "control.h"
#include "settings.h"

/* A server has 64 of them, and so many for each backend; see dsm.c. */
#define SERVER_SEGMENTS (64 + 5 * MaxBackends)

int
slots_limit(void)
{
	return Min(SHARED_SLOTS, SERVER_SEGMENTS / 4);
}

SharedSlot *
slot_find_number(SharedControl *control, uint64 number)
{
	for (int i = 0; i < slots_limit(); i++)
		if (control->slots[i].number == number)
			return &control->slots[i];
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
slot_retire(SharedControl *control, SharedSlot *slot)
{
	uint64		number = slot->number;

	slot->retired = true;
	slot_free_unused(slot);
	for (int i = 0; i < slots_limit(); i++)
		if (control->slots[i].number != 0 &&
			control->slots[i].key.image == number)
		{
			control->slots[i].retired = true;
			slot_free_unused(&control->slots[i]);
		}
}

SharedSlot *
slot_find_key(SharedControl *control, const SharedKey *key)
{
	for (int i = 0; i < slots_limit(); i++)
		if (control->slots[i].number != 0 && !control->slots[i].retired &&
			memcmp(&control->slots[i].key, key, sizeof(*key)) == 0)
			return &control->slots[i];
	return NULL;
}

/* Of the pieces that nobody has mapped, that mapped longest ago, or NULL */
static SharedSlot *
oldest_unused(SharedControl *control)
{
	SharedSlot *oldest = NULL;

	for (int i = 0; i < slots_limit(); i++)
	{
		SharedSlot *slot = &control->slots[i];

		if (slot->number != 0 && slot->mappings == 0 &&
			(oldest == NULL || slot->last_use < oldest->last_use))
			oldest = slot;
	}
	return oldest;
}

/* What pieces take, all of them or those that somebody has mapped */
static size_t
shared_size(SharedControl *control, bool mapped)
{
	size_t		size = 0;

	for (int i = 0; i < slots_limit(); i++)
		if (!mapped || control->slots[i].mappings > 0)
			size += control->slots[i].size;
	return size;
}

bool
slots_make_room(SharedControl *control, size_t size)
{
	size_t		limit = (size_t) shared_cache_size_setting * 1024;

	if (size > 0 && shared_size(control, true) + size > limit)
		return false;
	while (shared_size(control, false) + size > limit)
	{
		SharedSlot *oldest = oldest_unused(control);

		if (oldest == NULL)
			return false;
		slot_retire(control, oldest);
	}
	return true;
}

SharedSlot *
slot_reserve(SharedControl *control, const SharedKey *key)
{
	SharedSlot *slot;

	if (key->part == SHARED_INDEX)
	{
		slot = slot_find_number(control, key->image);
		if (slot == NULL || slot->retired)
			return NULL;
	}

	/* what there was of the table before, perhaps in other columns */
	for (int i = 0; i < slots_limit(); i++)
		if (control->slots[i].number != 0 &&
			control->slots[i].key.database == key->database &&
			control->slots[i].key.table == key->table &&
			control->slots[i].key.part == key->part)
			slot_retire(control, &control->slots[i]);

	if (slot_find_number(control, 0) == NULL && oldest_unused(control) != NULL)
		slot_retire(control, oldest_unused(control));
	slot = slot_find_number(control, 0);
	if (slot != NULL)
	{
		slot->key = *key;
		slot->number = ++control->last_number;
	}
	return slot;
}
