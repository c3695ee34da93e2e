"""From runs to answers: studies, their run directories, stopping, merging, comparing."""
