variable "prefix" {
  description = "Prefix of every name, such as \"staging-\", so that one account can hold several systems. Defaults to none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[a-z0-9-]{0,20}$", var.prefix))
    error_message = "Up to 20 of a-z, 0-9 and -."
  }
}

variable "table_names" {
  description = "Other names of tables, by variable, such as { TABLE_EVENT_LOG = \"EventLog-restored\" }. Defaults to none."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Whether tables refuse to be deleted. Defaults to true."
  type        = bool
  default     = true
}

variable "recovery_days" {
  description = "How far back tables can be restored, 1 to 35 days. Defaults to 35."
  type        = number
  default     = 35
}

variable "stream_shards" {
  description = "Shards of the Kinesis stream, each for 1 MB or 1,000 events a second. null: on demand, resized by AWS. Defaults to 2."
  type        = number
  default     = 2
}

variable "stream_retention_hours" {
  description = "How long Kinesis keeps events, 24 to 8760; more than 24 costs more. Defaults to 24."
  type        = number
  default     = 24
}

variable "stream_mode" {
  description = "How the broker reads Kinesis: polling or fanout. Defaults to polling."
  type        = string
  default     = "polling"

  validation {
    condition     = contains(["polling", "fanout"], var.stream_mode)
    error_message = "polling or fanout."
  }
}

variable "archive_lock_days" {
  description = <<-E
    For how many days after their arrival archived events cannot be deleted but by those with s3:BypassGovernanceRetention. It would
    also stop the erasure of a person, and a bucket that was locked once cannot be unlocked. Firehose was not seen to deliver into a
    locked bucket: watch archive-late. Defaults to none.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html
  E
  type        = number
  default     = null
}

variable "archive_days_hot" {
  description = "After how many days archived events move to S3 Glacier Instant Retrieval. Defaults to 90."
  type        = number
  default     = 90
}

variable "key_users" {
  description = <<-E
    Roles beside the system's own that may use the keys, through the services that hold the data, as what follows role/ in their ARN;
    * is any text: who applies this module, and operators who read data. All others are refused the data, administrators among them.
    Defaults to leftfold-deploy, which may read no data.
  E
  type        = set(string)
  default     = ["leftfold-deploy"]
}

variable "permissions_boundary" {
  description = "ARN of a policy that bounds what the roles can do; the example bootstrap makes one. Defaults to none."
  type        = string
  default     = null
}
