"""The engines that run the jobs: Sail in a process of its own, Spark's JVM, Spark Connect."""
