"""The search for settings of the trained tail, by Optuna (extra ``search``)."""
