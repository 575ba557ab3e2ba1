/*
 * side.c
 *	  Users and items, the two sides of ratings.
 */
#include "common/side.h"

const char *const side_names[2] = {"user", "item"};
const char *const side_plurals[2] = {"users", "items"};
const char *const side_id_columns[2] = {"user_id", "item_id"};
