"""What curricula are made of: estimators, utilities and selectors of arms; queues, samplers and records of rows."""
