# Runs when the job is cancelled.
job_number=__job_number__
bash service-kill-${job_number}.sh
