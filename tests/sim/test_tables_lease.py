"""The contract of the embedded AWS, kept by the tables of the simulation."""

from tests.contract.test_dynamo import (  # noqa: F401  (the very same tests, on the fixtures of this folder)
    test_a_transaction_is_all_or_nothing_and_says_which_condition_failed,
    test_an_update_sets_its_attributes_and_leaves_the_others,
    test_more_items_than_a_batch_or_a_page_takes,
    test_scan_finds_all_items_of_a_prefix,
    test_the_last_of_several_items_with_one_key_stays,
)
from tests.contract.test_lease import (  # noqa: F401  (as above)
    clock,
    test_a_dead_holders_lease_is_taken_after_a_watched_term_with_a_higher_fence,
    test_a_holder_that_slept_books_nothing_and_learns_that_it_lost,
    test_a_released_lease_is_free_at_once_and_the_fence_goes_on,
    test_another_instance_is_turned_away_as_soon_as_the_holder_renews,
    test_the_fence_never_falls_even_if_somebody_deleted_the_item,
    test_the_first_holder_gets_a_term_and_renewals_extend_it,
    test_the_same_instance_retakes_its_own_lease_at_once_with_a_new_fence,
    test_two_leases_of_different_names_do_not_meet,
    test_while_dynamodb_is_away_the_margin_shrinks_and_the_next_second_tries_again,
)
