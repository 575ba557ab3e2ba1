/*
 * warm_start.c
 *	  Factors to start a training from: those of the run before.
 */
#include "compat.h"

#include "access/table.h"
#include "model/factor_table.h"
#include "train/warm_start.h"
#include "utils/snapmgr.h"

void
load_starting_factors(const ModelTarget *target, const TrainOptions *options,
					  const TrainerResult *start, const Ratings *ratings,
					  AlsSide side)
{
	Relation	model = table_open(target->model, NoLock);
	IdMap	   *map = ratings_map(ratings, side);
	const RatedIds *ids = ratings_ids(ratings, side);
	size_t		stride = als_stride(start->rank);
	int			factors = options->parameters.factors;
	float	   *row = palloc(stride * sizeof(float));
	FactorColumns columns;
	FactorScan	scan;
	Relation	table;
	Snapshot	snapshot;
	Datum		id;

	if (target->last.factors != factors)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot start %d factors from the %d of model \"%s\"",
						factors, target->last.factors, target->name),
				 errhint("Train with the same number of factors, or without warm_start.")));

	table = factor_table_open(model, &target->last, side, AccessShareLock,
							  &columns);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(table)));
	factor_scan_begin(&scan, table, &columns, snapshot);
	while (factor_scan_next(&scan, &id))
	{
		uint32		arrival;

		if (!idmap_find(map, id, &arrival))
			continue;
		factor_table_row(table, &columns, scan.slot, factors, row);
		if (options->nonnegative)
			for (int i = 0; i < factors; i++)
				row[i] = Max(row[i], 0);
		if (!options->parameters.biases)
			row[factors] = 0;
		memcpy(start->factors[side] + ids->order[arrival] * stride, row,
			   start->rank * sizeof(float));
	}
	factor_scan_end(&scan);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	table_close(model, NoLock);
	pfree(row);
}
