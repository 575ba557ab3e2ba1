/*
 * ids.c
 *	  What the ids of users and items are.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/ids.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

bool
id_type_init(IdType *id, Oid type, int32 typmod, Oid collation,
			 MemoryContext context)
{
	TypeCacheEntry *cache = lookup_type_cache(type,
											  TYPECACHE_HASH_EXTENDED_PROC |
											  TYPECACHE_EQ_OPR |
											  TYPECACHE_CMP_PROC);

	if (!OidIsValid(cache->hash_extended_proc) || !OidIsValid(cache->eq_opr))
		return false;

	memset(id, 0, sizeof(*id));
	id->type = type;
	id->typmod = typmod;
	id->collation = collation;
	id->typlen = cache->typlen;
	id->typbyval = cache->typbyval;
	id->integer = is_integer_type(getBaseType(type));
	fmgr_info_cxt(cache->hash_extended_proc, &id->hash, context);
	fmgr_info_cxt(get_opcode(cache->eq_opr), &id->equal, context);
	if (OidIsValid(cache->cmp_proc))
		fmgr_info_cxt(cache->cmp_proc, &id->compare, context);
	return true;
}

bool
id_type_is_same(const IdType *a, const IdType *b)
{
	return a->type == b->type && a->typmod == b->typmod &&
		a->collation == b->collation;
}

void
id_type_own(IdType *copy, MemoryContext context)
{
	FmgrInfo   *const functions[] = {&copy->hash, &copy->equal, &copy->compare};

	for (size_t i = 0; i < lengthof(functions); i++)
	{
		functions[i]->fn_extra = NULL;
		functions[i]->fn_mcxt = context;
	}
}

uint64
id_hash(const IdType *id, Datum value)
{
	if (id->integer)
		return id_hash_integer(id_integer(id, value));
	return DatumGetUInt64(FunctionCall2Coll((FmgrInfo *) &id->hash,
											id->collation, value,
											UInt64GetDatum(0)));
}

bool
id_equal(const IdType *id, Datum a, Datum b)
{
	if (id->integer)
		return id_integer(id, a) == id_integer(id, b);
	return DatumGetBool(FunctionCall2Coll((FmgrInfo *) &id->equal,
										  id->collation, a, b));
}

int
id_compare_image(const IdType *id, Datum a, Datum b)
{
	const char *bytes_a = DatumGetPointer(a);
	const char *bytes_b = DatumGetPointer(b);
	size_t		length_a;
	size_t		length_b;
	int			order;

	if (id->typbyval)
		return a < b ? -1 : a > b ? 1 : 0;

	if (id->typlen == -1)
	{
		struct varlena *varlena_a = PG_DETOAST_DATUM_PACKED(a);
		struct varlena *varlena_b = PG_DETOAST_DATUM_PACKED(b);

		bytes_a = VARDATA_ANY(varlena_a);
		bytes_b = VARDATA_ANY(varlena_b);
		length_a = VARSIZE_ANY_EXHDR(varlena_a);
		length_b = VARSIZE_ANY_EXHDR(varlena_b);
	}
	else
	{
		length_a = datumGetSize(a, false, id->typlen);
		length_b = datumGetSize(b, false, id->typlen);
	}
	order = memcmp(bytes_a, bytes_b, Min(length_a, length_b));
	if (order == 0 && length_a != length_b)
		order = length_a < length_b ? -1 : 1;
	return order;
}

int
id_compare(const IdType *id, Datum a, Datum b)
{
	uint64		hash_a;
	uint64		hash_b;

	if (OidIsValid(id->compare.fn_oid))
		return DatumGetInt32(FunctionCall2Coll((FmgrInfo *) &id->compare,
											   id->collation, a, b));
	hash_a = id_hash(id, a);
	hash_b = id_hash(id, b);
	if (hash_a != hash_b)
		return hash_a < hash_b ? -1 : 1;
	return id_compare_image(id, a, b);
}

/* What compare_indices compares by */
typedef struct IdOrder
{
	const IdType *type;
	const Datum *ids;
} IdOrder;

/* Compares indices of ids by the order in which ties are broken. */
static int
compare_indices(const void *a, const void *b, void *arg)
{
	const IdOrder *order = arg;

	CHECK_FOR_INTERRUPTS();
	return id_compare(order->type, order->ids[*(const uint32 *) a],
					  order->ids[*(const uint32 *) b]);
}

void
id_places(const IdType *id, const Datum *ids, uint32 size, uint32 *places)
{
	IdOrder		order = {id, ids};
	uint32	   *sorted = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(size, 1) * sizeof(uint32));

	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sorted[i] = i;
	}
	qsort_arg(sorted, size, sizeof(uint32), compare_indices, &order);
	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		places[sorted[i]] = i;
	}
	pfree(sorted);
}

Datum
id_copy(const IdType *id, Datum value)
{
	if (id->typlen == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return datumCopy(value, id->typbyval, id->typlen);
}

char *
type_name_any_length(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN |
								FORMAT_TYPE_FORCE_QUALIFY);
}

char *
id_to_text(const IdType *id, Datum value)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(id->type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}
