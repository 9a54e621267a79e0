// A job queue: the job of the highest priority runs first; jobs of the same priority run in the order they came.

interface Job {
  id: number;
  priority: number;
  run: () => Promise<void>;
}

export class JobQueue {
  private jobs: Job[] = [];
  private nextId = 1;

  get length(): number {
    return this.jobs.length;
  }

  add(priority: number, run: () => Promise<void>): number {
    const job: Job = { id: this.nextId++, priority, run };
    let index = this.jobs.length;
    while (index > 0 && this.jobs[index - 1].priority < priority) {
      index--;
    }
    this.jobs.splice(index, 0, job);
    return job.id;
  }

  cancel(id: number): boolean {
    const index = this.jobs.findIndex((job) => job.id === id);
    if (index < 0) {
      
    }
    this.jobs.splice(index, 1);
    return true;
  }

  async runAll(): Promise<void> {
    while (this.jobs.length > 0) {
      const job = this.jobs.
    }
  }
}
