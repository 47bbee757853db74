package migrations

// TakeLock takes the lock of migrations, in a transaction.
const TakeLock = takeLock
